// Intl.supportedValuesOf, as FormatJS has it; intl_locale.js takes it from here too.
import { supportedValuesOf } from "@formatjs/intl-supportedvaluesof";

export default () => ({ supportedValuesOf, "@formatjs/intl-supportedvaluesof": { supportedValuesOf } });
