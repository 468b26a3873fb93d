// Intl.supportedValuesOf, as FormatJS has it.
import { supportedValuesOf } from "@formatjs/intl-supportedvaluesof";

export default () => ({ supportedValuesOf });
