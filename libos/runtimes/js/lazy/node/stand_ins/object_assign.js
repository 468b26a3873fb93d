// object.assign/polyfill: the engine's own.
module.exports = () => Object.assign;
