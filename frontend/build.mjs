// Bundles src/ into the package's static folder. Names carry content hashes; manifest.json maps plain names to them.
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const dist = fileURLToPath(new URL("../src/parcela/web/static/dist/", import.meta.url));
// app.js + app.css for every page, console.js + console.css for consoles, the icon, and the document of the API.
const names = [
  ...["app.js", "app.css", "console.js", "console.css", "parcela.svg"],
  ...["docs.js", "docs.css", "docs-redirect.js", "redoc.js"],
];
// Bundles that their makers built; their licences stand in files beside them.
const licences = [
  "swagger-ui-dist/swagger-ui-bundle.js.LICENSE.txt",
  "redoc/bundles/redoc.standalone.js.LICENSE.txt",
];
// ReDoc shows a picture from its maker's server. Our pages ask no other host for anything.
const logo = "https://cdn.redoc.ly/redoc/logo-mini.svg";
const withoutLogo = {
  name: "redoc without its remote logo",
  setup(one) {
    one.onResolve({ filter: /^null$/ }, () => ({ path: "null", namespace: "left-out" })); // what its bundle left out
    one.onLoad({ filter: /.*/, namespace: "left-out" }, () => ({ contents: "" }));
    one.onLoad({ filter: /redoc\.standalone\.js$/ }, async ({ path }) => {
      const text = await readFile(path, "utf8");
      if (!text.includes(logo)) throw new Error(`${logo} is no longer in ${path}; look for what it asks for now`);
      return { contents: text.replaceAll(logo, "data:,"), loader: "js" };
    });
  },
};
const COMPRESSED = /\.(js|css|svg)$/;

const result = await build({
  absWorkingDir: fileURLToPath(new URL(".", import.meta.url)),
  entryPoints: names.map((name) => `src/${name}`),
  outdir: dist,
  bundle: true,
  splitting: true,
  format: "esm",
  target: ["es2022"],
  minify: true,
  metafile: true,
  write: false,
  entryNames: "[name]-[hash]",
  chunkNames: "part-[hash]",
  assetNames: "[name]-[hash]",
  loader: { ".svg": "copy" },
  // Licences of what is bundled go with it.
  legalComments: "linked",
  logLevel: "warning",
  plugins: [withoutLogo],
});

const manifest = {};
for (const [file, output] of Object.entries(result.metafile.outputs)) {
  const source = output.entryPoint ?? Object.keys(output.inputs)[0];
  const name = names.find((entry) => source === `src/${entry}`);
  if (name && !file.endsWith(".LEGAL.txt") && !basename(file).startsWith("part-")) manifest[name] = basename(file);
}
const missing = names.filter((name) => !(name in manifest));
if (missing.length) throw new Error(`not built: ${missing}`);

// The folder is replaced only now: a build that fails leaves the one before.
await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });
await Promise.all(result.outputFiles.map((file) => writeFile(file.path, file.contents)));
// Compressed once here and not for every request: the largest would hold the server up for a tenth of a second.
const large = result.outputFiles.filter((file) => COMPRESSED.test(file.path) && file.contents.length > 1024);
await Promise.all(large.map((file) => writeFile(`${file.path}.gz`, gzipSync(file.contents, { level: 9 }))));
await Promise.all(
  licences.map((file) => copyFile(fileURLToPath(new URL(`node_modules/${file}`, import.meta.url)), `${dist}${basename(file)}`)),
);
await writeFile(`${dist}manifest.json`, `${JSON.stringify(manifest, null, 2)}\n`);
