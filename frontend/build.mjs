// Bundles src/ into the package's static folder. Names carry content hashes; manifest.json maps plain names to them.
import { mkdir, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const dist = fileURLToPath(new URL("../src/parcela/web/static/dist/", import.meta.url));
// app.js + app.css for every page, console.js + console.css for consoles, the icon.
const names = ["app.js", "app.css", "console.js", "console.css", "parcela.svg"];

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
await writeFile(`${dist}manifest.json`, `${JSON.stringify(manifest, null, 2)}\n`);
