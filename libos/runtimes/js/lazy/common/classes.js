// Classes that workers see, as Web IDL has interfaces: members are enumerable, and objects say what they are. A class is given by
// its name, which a bundler would shorten otherwise.
export const interfaces = (classes) => {
  for (const name in classes) {
    const { prototype } = classes[name];
    for (const key of Object.getOwnPropertyNames(prototype)) if (key !== "constructor") Object.defineProperty(prototype, key, { enumerable: true });
    Object.defineProperty(prototype, Symbol.toStringTag, { value: name, configurable: true });
    Object.defineProperty(classes[name], "name", { value: name, configurable: true });
  }
  return classes;
};
