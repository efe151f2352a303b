import { Injectable } from '@nestjs/common';
import { PIPES_METADATA } from '@nestjs/common/constants.js';
import { ApplicationConfig, ModulesContainer } from '@nestjs/core';

/** Whether an application has pipes of its own for the parameters of a handler. */
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
      for (const { metatype } of [...controllers.values(), ...providers.values()]) {
        if (typeof metatype === 'function' && hasOwnPipes(metatype, owner, method)) return true;
      }
    }
    return false;
  }
}

function hasOwnPipes(type: { readonly prototype?: unknown }, owner: object, method: string | symbol): boolean {
  const { prototype } = type;
  if (prototype !== owner && !Object.prototype.isPrototypeOf.call(owner, Object(prototype) as object)) return false;
  const handler: unknown = Reflect.get(prototype as object, method);
  return isMarked(type) || (typeof handler === 'function' && isMarked(handler));
}

function isMarked(target: object): boolean {
  const pipes: unknown = Reflect.getMetadata(PIPES_METADATA, target);
  return Array.isArray(pipes) && pipes.length > 0;
}
