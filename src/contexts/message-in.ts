import type { ExecutionContext } from '@nestjs/common';

/** Stands for one message among the arguments of its handler. */
class Message {
  readonly isMessage = true;
}

/** What stands for one message in a context of a type that Nest knows; `undefined`: nothing is certain to. */
export function messageIn(context: ExecutionContext): object | undefined {
  switch (context.getType<string>()) {
    case 'ws':
      return markIn(context);
    case 'rpc':
      // The context or the metadata of the message, which each transport makes for it.
      return objectAt(context, 1);
    case 'graphql':
      return operationOf(context);
    default:
      return undefined;
  }
}

/**
 * Guards and interceptors of one message share the array of its arguments, and decorators of parameters get a copy of it. None of the arguments is
 * certain to be an object of this message alone, so one is added, before the last: Nest takes the last one for the name of the event.
 */
export function markIn(context: ExecutionContext): object {
  const args = context.getArgs<unknown[]>();
  const known = args.find((arg): arg is Message => arg instanceof Message);
  if (known !== undefined) return known;
  const message = new Message();
  args.splice(Math.max(args.length - 1, 1), 0, message);
  return message;
}

/**
 * The values of its variables: they are made for each operation and for each event of a subscription. An application may give all operations of a
 * connection one context.
 */
function operationOf(context: ExecutionContext): object | undefined {
  const { variableValues } = (objectAt(context, 3) ?? {}) as { readonly variableValues?: unknown };
  return typeof variableValues === 'object' && variableValues !== null ? variableValues : objectAt(context, 2);
}

function objectAt(context: ExecutionContext, index: number): object | undefined {
  const argument = context.getArgByIndex<unknown>(index);
  return typeof argument === 'object' && argument !== null ? argument : undefined;
}
