// object-is/polyfill: the engine's own.
module.exports = () => Object.is;
