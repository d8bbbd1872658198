// /docs/oauth2-redirect: hands the answer of an authorisation server to the page that opened this window.
import "swagger-ui-dist/oauth2-redirect.js";
