// /redoc: ReDoc from our own files. Search needs a worker from a blob: address, which our policy does not allow.
import { init } from "redoc/bundles/redoc.standalone.js";

const place = document.getElementById("document");
init(place.dataset.document, { disableSearch: true, disableGoogleFont: true, nativeScrollbars: true }, place);
