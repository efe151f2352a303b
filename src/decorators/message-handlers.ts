import { Injectable, type ExceptionFilter, type Type } from '@nestjs/common';
import { MetadataScanner, ModulesContainer } from '@nestjs/core';

import { SessionMessageErrorFilter } from '../session-error.filter.js';
import { refuseByErrorsOf } from './connection-handlers.js';
import { MessageScopeInterceptor } from './message-scope.interceptor.js';
import {
  FILTERS_METADATA,
  GATEWAY_METADATA,
  INTERCEPTORS_METADATA,
  MESSAGE_KEYS,
  metadataList,
  PATH_METADATA,
} from './nest-metadata.js';

/**
 * Prepares the application's handlers of messages when Nest makes it: with the first providers, as it waits for no option, and before the handlers.
 *
 * Puts a filter for our errors on gateways, and on the handlers of microservices, behind filters of the application; on gateways also what gives the
 * session of a message by its socket, and what refuses a connection. Another application of the process that has the same classes uses the same objects, so
 * they must keep nothing.
 */
@Injectable()
export class MessageHandlers {
  constructor(modules: ModulesContainer) {
    const filter = new SessionMessageErrorFilter();
    const interceptor = new MessageScopeInterceptor();
    for (const { controllers, providers } of modules.values()) {
      for (const { metatype } of [...controllers.values(), ...providers.values()]) {
        if (typeof metatype !== 'function') continue;
        if (Reflect.getMetadata(GATEWAY_METADATA, metatype) === true) {
          addTo(metatype, FILTERS_METADATA, filter);
          addTo(metatype, INTERCEPTORS_METADATA, interceptor);
          refuseByErrorsOf(metatype as Type);
        } else {
          addToHandlers(metatype as Type, filter);
        }
      }
    }
  }
}

/** If a class handles messages alone, the filter is on the class, so that filters on it and on the methods come first. */
function addToHandlers(type: Type, filter: ExceptionFilter): void {
  const handlers = handlersOf(type);
  const ofMessages = handlers.filter((handler) => MESSAGE_KEYS.some((key) => Reflect.hasMetadata(key, handler)));
  if (ofMessages.length === 0) return;
  const routes = new Set(handlers.filter((handler) => Reflect.hasMetadata(PATH_METADATA, handler)));
  // On a method that is a route too, the filter would come before the application's global ones, and leave the request without a response.
  for (const target of routes.size > 0 ? ofMessages.filter((handler) => !routes.has(handler)) : [type])
    addTo(target, FILTERS_METADATA, filter);
}

function handlersOf({ prototype }: Type): object[] {
  const owner = prototype as Readonly<Record<string, unknown>>;
  return new MetadataScanner()
    .getAllMethodNames(owner)
    .map((name) => owner[name])
    .filter((handler) => typeof handler === 'function');
}

/** In front: of several filters for an error, Nest takes the last one; and the first interceptor is around the others. */
function addTo(target: object, key: string, added: object): void {
  const known = metadataList(key, target);
  if (known.some((other) => other.constructor === added.constructor)) return;
  Reflect.defineMetadata(key, [added, ...known], target);
}
