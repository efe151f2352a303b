import { describe, expect, it } from '@jest/globals';
import { ApolloDriver, type ApolloDriverConfig } from '@nestjs/apollo';
import { Controller, Get, UseGuards, type Type } from '@nestjs/common';
import { GraphQLModule, Query, ResolveField, Resolver } from '@nestjs/graphql';
import { RequireFresh, RequirePermissions, RequireRoles, SessionGuard } from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { startApp, type AppOptions } from '../support/apps.js';

async function statusOf(controller: Type): Promise<number> {
  const app = await startApp({ controllers: [controller] });
  try {
    const { headers } = await logIn(app.app, { userId: 'bob' });
    return (await app.fetch('/', { headers })).status;
  } finally {
    await app.close();
  }
}

describe('a handler that an instance has replaced', () => {
  class Handlers {
    @RequireRoles('admin')
    @Get()
    secret() {
      return 'secret';
    }
  }

  it('by a bound function stops the application, as Nest would call no guard', async () => {
    @Controller()
    class Bound extends Handlers {
      constructor() {
        super();
        this.secret = this.secret.bind(this);
      }
    }
    await expect(statusOf(Bound)).rejects.toThrow('Bound.secret() has lost what it requires');
  });

  it('by one that has all its metadata does no harm', async () => {
    @Controller()
    class Kept extends Handlers {
      constructor() {
        super();
        const bound = this.secret.bind(this);
        for (const key of Reflect.getMetadataKeys(Handlers.prototype.secret)) {
          Reflect.defineMetadata(key, Reflect.getMetadata(key, Handlers.prototype.secret), bound);
        }
        this.secret = bound;
      }
    }
    expect(await statusOf(Kept)).toBe(403);
  });

  it('by one that has the marks and no guard stops the application too', async () => {
    @Controller()
    class Half extends Handlers {
      constructor() {
        super();
        const bound = this.secret.bind(this);
        for (const key of Reflect.getMetadataKeys(Handlers.prototype.secret)) {
          if (key === '__guards__') continue;
          Reflect.defineMetadata(key, Reflect.getMetadata(key, Handlers.prototype.secret), bound);
        }
        this.secret = bound;
      }
    }
    await expect(statusOf(Half)).rejects.toThrow('Half.secret() has lost what it requires');
  });
});

describe('a handler that overrides one with requirements', () => {
  class Parent {
    @RequireRoles('admin')
    @RequireFresh(300)
    @Get()
    secret() {
      return 'secret';
    }
  }

  it('and requires nothing stops the application', async () => {
    @UseGuards(SessionGuard)
    @Controller()
    class Child extends Parent {
      @Get()
      override secret() {
        return 'child';
      }
    }
    await expect(statusOf(Child)).rejects.toThrow('Child.secret() requires less than Parent.secret()');
  });

  it('and requires something else alone stops it too', async () => {
    @RequirePermissions('secrets:read')
    @Controller()
    class Child extends Parent {
      @RequireFresh(60)
      @Get()
      override secret() {
        return 'child';
      }
    }
    await expect(statusOf(Child)).rejects.toThrow('Child.secret() requires less than Parent.secret()');
  });

  it('and requires the same kinds, itself or by its class, is checked', async () => {
    @RequireRoles('owner')
    @Controller()
    class Child extends Parent {
      @RequireFresh(60)
      @Get()
      override secret() {
        return 'child';
      }
    }
    expect(await statusOf(Child)).toBe(403);
  });

  it('and is no handler itself is none of its routes', async () => {
    @Controller()
    class Child extends Parent {
      override secret() {
        return 'child';
      }
    }
    expect(await statusOf(Child)).toBe(404);
  });
});

describe('a field of GraphQL', () => {
  const start = (resolver: Type, fieldResolverEnhancers?: ApolloDriverConfig['fieldResolverEnhancers']) => {
    const graphql = GraphQLModule.forRoot<ApolloDriverConfig>({
      driver: ApolloDriver,
      typeDefs: 'type Account { id: ID salary: String } type Query { account: Account own: String }',
      graphiql: false,
      ...(fieldResolverEnhancers ? { fieldResolverEnhancers } : {}),
    });
    const options: AppOptions = { controllers: [], imports: [graphql], providers: [resolver] };
    return startApp(options);
  };

  @Resolver('Account')
  class OfField {
    @Query('account')
    account() {
      return { id: '1' };
    }

    @RequireRoles('admin')
    @ResolveField('salary')
    salary() {
      return '100';
    }
  }

  @RequireRoles('admin')
  @Resolver('Account')
  class OfClass {
    @ResolveField('salary')
    salary() {
      return '100';
    }
  }

  @Resolver('Account')
  class OfQuery {
    @RequireRoles('admin')
    @Query('own')
    own() {
      return 'own';
    }

    @ResolveField('salary')
    salary() {
      return '100';
    }
  }

  it.each([
    [OfField, undefined],
    [OfField, ['filters']],
    [OfClass, undefined],
  ] as const)(
    'with requirements stops the application where Nest calls no guards for fields: %p',
    async (type, enhancers) => {
      await expect(start(type, enhancers && [...enhancers])).rejects.toThrow(
        `${type.name}.salary() requires something of the user, and Nest calls no guards for fields.`,
      );
    },
  );

  it('is checked where Nest calls guards for fields', async () => {
    const app = await start(OfField, ['guards', 'filters']);
    const { headers } = await logIn(app.app, { userId: 'bob' });
    const response = await app.fetch('/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ query: '{ account { id salary } }' }),
    });
    expect(await response.json()).toMatchObject({
      data: { account: { id: '1', salary: null } },
      errors: [{ message: 'Forbidden', extensions: { code: 'FORBIDDEN', reason: 'ROLE_MISSING' } }],
    });
    await app.close();
  });

  it('without requirements stays as it is, beside a query that has some', async () => {
    const app = await start(OfQuery);
    await app.close();
  });
});
