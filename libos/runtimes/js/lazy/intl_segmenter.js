// Intl.Segmenter, as FormatJS has it.
import { Segmenter } from "@formatjs/intl-segmenter";

Segmenter.__defaultLocale = "en-US";
export default () => ({ Segmenter });
