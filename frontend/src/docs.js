// /docs: Swagger UI from our own files. Nothing is asked of another host.
import SwaggerUI from "swagger-ui-dist/swagger-ui-bundle.js";

const place = document.getElementById("document");
SwaggerUI({
  domNode: place,
  url: place.dataset.document,
  oauth2RedirectUrl: new URL(place.dataset.redirect, location.origin).href,
  // Without this the address of the document is sent to a validator on the internet.
  validatorUrl: null,
  deepLinking: true,
  presets: [SwaggerUI.presets.apis],
  layout: "BaseLayout",
});
