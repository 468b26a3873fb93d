// Intl.Locale, as FormatJS has it.
import { Locale } from "@formatjs/intl-locale";

export default () => ({ Locale });
