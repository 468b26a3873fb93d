// Intl.getCanonicalLocales, for tags that are not those of the image's own locales; intl_locale.js has the rest of it.
import * as canonical from "@formatjs/intl-getcanonicallocales";

export default () => ({ getCanonicalLocales: canonical.getCanonicalLocales, "@formatjs/intl-getcanonicallocales": canonical });
