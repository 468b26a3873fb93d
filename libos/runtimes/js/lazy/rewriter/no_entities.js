// entities/decode: its tables are large, and a tokenizer that leaves entities as they are never asks them.
export class EntityDecoder {}
export const DecodingMode = {}, htmlDecodeTree = null, xmlDecodeTree = null;
