/**
 * Lays own properties over those of an object that is not ours.
 *
 * @returns takes them away again, and puts back own properties that lay there before
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
