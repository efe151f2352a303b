/**
 * Sets own properties on an object of another library, over those that it has.
 *
 * @returns a function that removes them, and restores own properties that were there before
 */
export function overlay(target: object, properties: PropertyDescriptorMap): () => void {
  const covered = Object.keys(properties).map((name) => [name, Object.getOwnPropertyDescriptor(target, name)] as const);
  for (const [name, property] of Object.entries(properties)) {
    Object.defineProperty(target, name, { configurable: true, ...property });
  }
  return () => {
    for (const [name, property] of covered) {
      if (property === undefined) Reflect.deleteProperty(target, name);
      else Object.defineProperty(target, name, property);
    }
  };
}
