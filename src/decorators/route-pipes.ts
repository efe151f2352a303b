import { Injectable } from '@nestjs/common';
import { ApplicationConfig, ModulesContainer } from '@nestjs/core';

import { PIPES_METADATA } from './nest-metadata.js';

/** Whether an application has, or may get, pipes of its own for the parameters of a handler. */
@Injectable()
export class RoutePipes {
  constructor(
    private readonly config: ApplicationConfig,
    private readonly modules: ModulesContainer,
  ) {}

  /** @param owner the prototype on which the handler is declared; classes that extend it may add pipes */
  has(owner: object, method: string | symbol): boolean {
    if (this.config.getGlobalPipes().length > 0 || this.config.getGlobalRequestPipes().length > 0) return true;
    for (const { controllers, providers } of this.modules.values()) {
      for (const wrapper of [...controllers.values(), ...providers.values()]) {
        const { metatype } = wrapper;
        if (typeof metatype !== 'function' || !isOrExtends(metatype, owner)) continue;
        // Nest makes its routes anew for each request, with the pipes that there are by then.
        if (hasOwnPipes(metatype, method) || !wrapper.isDependencyTreeStatic()) return true;
      }
    }
    return false;
  }
}

function isOrExtends({ prototype }: { readonly prototype?: unknown }, owner: object): boolean {
  return prototype === owner || Object.prototype.isPrototypeOf.call(owner, Object(prototype) as object);
}

function hasOwnPipes(type: { readonly prototype?: unknown }, method: string | symbol): boolean {
  const handler: unknown = Reflect.get(type.prototype as object, method);
  return isMarked(type) || (typeof handler === 'function' && isMarked(handler));
}

function isMarked(target: object): boolean {
  const pipes: unknown = Reflect.getMetadata(PIPES_METADATA, target);
  return Array.isArray(pipes) && pipes.length > 0;
}
