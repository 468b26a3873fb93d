// Compression streams are made once a worker asks for one: lazy/compression.js.
"use strict";
for (const name of ["CompressionStream", "DecompressionStream"]) globalThis.__share.lazyGlobal(name, "compression");
