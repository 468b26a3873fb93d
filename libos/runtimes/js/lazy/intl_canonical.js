// Intl.getCanonicalLocales, for tags that are not those of the image's own locales.
import { getCanonicalLocales } from "@formatjs/intl-getcanonicallocales";

export default () => ({ getCanonicalLocales });
