import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** What a handler under test works with. */
export interface Scene {
  /** Node's. */
  readonly res: ServerResponse;
  /** The framework's. */
  readonly reply: object;
  /** Notes something that the handler sees. */
  readonly see: (what: string, value?: unknown) => void;
  /** Lets the session be stored, where that is held back. */
  readonly release: () => void;
}

/** A handler. What it throws is noted by whoever runs it. */
export interface ResponseCase {
  readonly name: string;
  readonly method?: 'GET' | 'HEAD';
  /** False: it uses Fastify's reply. Default: it uses Node's response, and Fastify is told so. */
  readonly hijacks?: false;
  readonly run: (scene: Scene) => unknown;
}

export function tried(see: Scene['see'], what: string, call: () => unknown): void {
  try {
    see(what, shown(call()));
  } catch (error) {
    see(what, `${(error as Error).name} ${codeOf(error)}: ${(error as Error).message}`);
  }
}

/** `this` of the response, as most of its methods return it, says nothing. */
function shown(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? 'an object' : value;
}

/** For the notes. */
export function codeOf(error: unknown): string {
  return String((error as { code?: string } | null | undefined)?.code);
}

function noteErrors({ res, see }: Scene): void {
  res.on('error', (error) => {
    see('event', codeOf(error));
  });
}

function callback({ see }: Scene, what: string): (error?: Error | null) => void {
  return (error) => {
    see(what, error === undefined || error === null ? 'called' : codeOf(error));
  };
}

/** Whatever changes a head, after the head. */
function changeTheHead({ res, see }: Scene): void {
  const headers = new Map([['x-late', 'late']]);
  tried(see, 'setHeader', () => res.setHeader('X-Late', 'late'));
  tried(see, 'setHeader Content-Length', () => res.setHeader('Content-Length', 1));
  tried(see, 'setHeader with a bad name', () => res.setHeader('bad name', 'late'));
  tried(see, 'setHeader without a value', () => res.setHeader('X-Late', undefined as never));
  tried(see, 'appendHeader', () => res.appendHeader('X-List', 'late'));
  tried(see, 'setHeaders', () => res.setHeaders(headers));
  tried(see, 'removeHeader', () => {
    res.removeHeader('X-Own');
  });
  tried(see, 'removeHeader without a name', () => {
    res.removeHeader(undefined as never);
  });
  tried(see, 'writeHead', () => res.writeHead(500, { 'X-Late': 'late' }));
  tried(see, 'writeHead with a bad status', () => res.writeHead(1));
  tried(see, 'flushHeaders', () => {
    res.flushHeaders();
  });
  res.statusCode = 500;
  res.statusMessage = 'Late';
  res.sendDate = false;
  read({ res, see });
}

/** Whatever can be read of a response, but for the deprecated `finished`, by which a server that shuts down decides whom to cut off. */
function read({ res, see }: Pick<Scene, 'res' | 'see'>): void {
  see('headersSent', res.headersSent);
  see('writableEnded', res.writableEnded);
  see('writableFinished', res.writableFinished);
  see('destroyed', res.destroyed);
  see('status', [res.statusCode, res.statusMessage]);
  see('_header', Boolean((res as unknown as { _header: unknown })._header));
  see('getHeader', res.getHeader('x-own'));
  see('getHeaders', res.getHeaders()['x-list']);
  see('getHeaderNames', res.getHeaderNames().includes('x-own'));
  see('hasHeader', [res.hasHeader('X-Own'), res.hasHeader('X-Late')]);
}

/** Bodies and arguments of every kind. */
function writeOddly({ res, see }: Scene): void {
  const odd = [null, undefined, 5, {}, [1], true];
  for (const [index, chunk] of odd.entries()) {
    tried(see, `write odd chunk ${index}`, () => res.write(chunk));
    tried(see, `end with odd chunk ${index}`, () => (chunk ? res.end(chunk) : undefined));
  }
  tried(see, 'write in an unknown encoding', () => res.write('a', 'foo' as never));
  tried(see, 'write bytes in an unknown encoding', () => res.write(Buffer.from('a'), 'foo' as never));
  tried(see, 'write hex', () => res.write('616263', 'hex'));
  tried(see, 'write nothing', () => res.write(''));
  tried(see, 'write bytes', () => res.write(new Uint8Array([100])));
}

function own(res: ServerResponse): ServerResponse {
  res.statusCode = 201;
  res.setHeader('X-Own', 'own');
  res.setHeader('X-List', ['one', 'two']);
  return res;
}

export const RESPONSE_CASES: readonly ResponseCase[] = [
  { name: 'a plain response', run: ({ res }) => own(res).end('body') },
  {
    name: 'changes of the head after writeHead',
    run: (scene) => {
      own(scene.res).writeHead(202, { 'X-Given': 'given' });
      changeTheHead(scene);
      scene.res.end('body');
    },
  },
  {
    name: 'changes of the head after flushHeaders',
    run: (scene) => {
      own(scene.res).flushHeaders();
      changeTheHead(scene);
      scene.res.end('body');
    },
  },
  {
    name: 'changes of the head after a write',
    run: (scene) => {
      own(scene.res).write('bo');
      changeTheHead(scene);
      scene.res.end('dy');
    },
  },
  {
    name: 'changes of the head after the end',
    run: (scene) => {
      own(scene.res).end('body');
      changeTheHead(scene);
    },
  },
  {
    name: 'a list of values that changes after the head',
    run: ({ res }) => {
      const [given, set] = [['one'], ['one']];
      res.setHeader('X-Set', set);
      res.writeHead(200, { 'X-Given': given });
      given.push('late');
      set.push('late');
      res.end('body');
    },
  },
  {
    name: 'a list of values that changes after an end without writeHead',
    run: ({ res }) => {
      const set = ['one'];
      res.setHeader('X-Set', set);
      res.end('body');
      set.push('late');
    },
  },
  {
    name: 'an object of headers that changes after the head',
    run: ({ res }) => {
      const headers: Record<string, string> = { 'X-Given': 'given', 'Content-Length': '4' };
      res.writeHead(200, headers);
      headers['X-Late'] = 'late';
      headers['Content-Length'] = '1';
      res.end('body');
    },
  },
  {
    name: 'two ends, each with a body',
    run: (scene) => {
      noteErrors(scene);
      own(scene.res).end('first');
      tried(scene.see, 'end', () => scene.res.end('second', callback(scene, 'second')));
    },
  },
  {
    name: 'two ends, the second without a body',
    run: (scene) => {
      noteErrors(scene);
      scene.res.end('first', callback(scene, 'first'));
      tried(scene.see, 'end', () => scene.res.end(callback(scene, 'second')));
      tried(scene.see, 'end', () => scene.res.end());
      tried(scene.see, 'end', () => scene.res.end('', callback(scene, 'third')));
    },
  },
  {
    name: 'writes after the end',
    run: (scene) => {
      noteErrors(scene);
      scene.res.end('first');
      tried(scene.see, 'write', () => scene.res.write('second', callback(scene, 'second')));
      tried(scene.see, 'write', () => scene.res.write('third', 'utf8', callback(scene, 'third')));
      writeOddly(scene);
    },
  },
  {
    name: 'odd writes before the head',
    run: (scene) => {
      tried(scene.see, 'write null', () => scene.res.write(null));
      read(scene);
      tried(scene.see, 'end an object', () => scene.res.end({}));
      read(scene);
      scene.res.statusCode = 500;
      scene.res.end('the error page');
    },
  },
  {
    name: 'odd writes after the head',
    run: (scene) => {
      noteErrors(scene);
      scene.res.writeHead(200, { 'Content-Length': 5 });
      for (const [index, chunk] of [null, 5, {}].entries()) {
        tried(scene.see, `write odd chunk ${index}`, () => scene.res.write(chunk));
      }
      tried(scene.see, 'end an object', () => scene.res.end({}));
      tried(scene.see, 'write in an unknown encoding', () => scene.res.write('a', 'foo' as never));
      tried(scene.see, 'end in an unknown encoding', () => scene.res.end('a', 'foo' as never));
      tried(scene.see, 'write hex', () => scene.res.write('616263', 'hex'));
      tried(scene.see, 'write nothing', () => scene.res.write(''));
      tried(scene.see, 'end', () => scene.res.end(new Uint8Array([100, 101])));
    },
  },
  {
    name: 'callbacks in their order',
    run: (scene) => {
      scene.res.on('finish', callback(scene, 'finish'));
      scene.res.write('a', callback(scene, 'a'));
      scene.res.write('b', 'latin1', callback(scene, 'b'));
      scene.res.end('c', 'utf8', callback(scene, 'c'));
      scene.see('returned');
    },
  },
  ...[0, 99, 1000, NaN, '404', 'abc', undefined, null, 200.9].map((status) => ({
    name: `writeHead(${typeof status === 'string' ? `'${status}'` : String(status)})`,
    run: ({ res, see }: Scene) => {
      tried(see, 'writeHead', () => res.writeHead(status as number, { 'X-Given': 'given' }));
      see('headersSent', res.headersSent);
      if (!res.headersSent) res.writeHead(500, { 'Content-Length': 5 });
      res.end('after');
    },
  })),
  {
    name: 'a status that is none, without writeHead',
    run: ({ res, see }) => {
      res.statusCode = 1000;
      tried(see, 'end', () => res.end('body'));
      see('headersSent', res.headersSent);
      res.statusCode = 500;
      res.end('the error page');
    },
  },
  {
    name: 'a reason that cannot be sent',
    run: ({ res, see }) => {
      tried(see, 'writeHead', () => res.writeHead(200, 'bad\nreason'));
      see('headersSent', res.headersSent);
      res.writeHead(500, 'Mended');
      res.end();
    },
  },
  ...(
    [
      ['a name', { 'bad name': 'a' }],
      ['a value', { 'X-Bad': 'a\nb' }],
      ['no value', { 'X-Bad': undefined }],
      ['an odd list', ['X-Bad']],
    ] as const
  ).map(([what, headers]) => ({
    name: `writeHead with headers that cannot be sent: ${what}`,
    run: ({ res, see }: Scene) => {
      tried(see, 'writeHead', () => res.writeHead(200, headers as never));
      see('headersSent', res.headersSent);
      if (!res.headersSent) res.writeHead(500, 'Mended');
      res.end('after');
    },
  })),
  {
    name: 'writeHead with a reason and an object of headers',
    run: ({ res }) => res.writeHead(203, 'Own Reason', { 'X-Given': ['a', 'b'], 'X-Number': 5 }).end('body'),
  },
  {
    name: 'writeHead with no reason and an object of headers',
    run: ({ res }) => res.writeHead(203, undefined, { 'X-Given': 'given' }).end('body'),
  },
  {
    name: 'writeHead with a flat list of headers',
    run: ({ res }) => res.writeHead(200, ['X-Given', 'a', 'X-Other', 'b']).end('body'),
  },
  { name: 'writeHead twice', run: ({ res }) => res.writeHead(200).writeHead(201) },
  {
    name: 'a head without a body',
    method: 'HEAD',
    run: (scene) => {
      own(scene.res).setHeader('Content-Length', 4);
      tried(scene.see, 'write', () => scene.res.write('body', callback(scene, 'write')));
      tried(scene.see, 'end', () => scene.res.end('body'));
      changeTheHead(scene);
    },
  },
  ...[204, 304].map((status) => ({
    name: `${status} with a body`,
    run: (scene: Scene) => {
      own(scene.res).writeHead(status);
      tried(scene.see, 'write', () => scene.res.write('body', callback(scene, 'write')));
      tried(scene.see, 'write in an unknown encoding', () => scene.res.write('body', 'foo' as never));
      tried(scene.see, 'end', () => scene.res.end('body'));
      changeTheHead(scene);
    },
  })),
  {
    name: 'chunks and trailers',
    run: ({ res }) => {
      res.writeHead(200, { Trailer: 'X-Sum' });
      res.write('one ');
      res.write('two');
      res.addTrailers({ 'X-Sum': '2' });
      res.end();
      res.addTrailers({ 'X-Sum': '3' });
    },
  },
  {
    name: 'trailers that cannot be sent',
    run: ({ res, see }) => {
      res.write('one');
      tried(see, 'a bad name', () => {
        res.addTrailers({ 'bad name': '1' });
      });
      tried(see, 'a bad value', () => {
        res.addTrailers({ 'X-Sum': 'a\nb' });
      });
      res.end();
      tried(see, 'late', () => {
        res.addTrailers({ 'bad name': '1' });
      });
    },
  },
  {
    name: 'trailers of a body that is not in chunks',
    run: ({ res, see }) => {
      res.setHeader('Content-Length', 4);
      tried(see, 'writeHead', () => res.writeHead(200, { Trailer: 'X-Sum' }));
      see('headersSent', res.headersSent);
      res.removeHeader('Trailer');
      res.end('body');
    },
  },
  ...([true, false] as const).flatMap((strict) =>
    [2, 9].map((length) => ({
      name: `Content-Length of ${length} for four bytes, ${strict ? 'strict' : 'not strict'}`,
      run: ({ res, see }: Scene) => {
        res.strictContentLength = strict;
        res.setHeader('Content-Length', length);
        tried(see, 'write', () => res.write('bo'));
        tried(see, 'end', () => res.end('dy'));
        see('sent', [res.headersSent, res.writableEnded]);
        if (length === 9) res.destroy();
        else if (!res.writableEnded) res.end();
      },
    })),
  ),
  {
    name: 'destroy after the end',
    run: (scene) => {
      noteErrors(scene);
      scene.res.writeHead(200, { 'Content-Length': 9 });
      scene.res.destroy();
      tried(scene.see, 'write', () => scene.res.write('late', callback(scene, 'late')));
      tried(scene.see, 'end', () => scene.res.end('late'));
      changeTheHead(scene);
    },
  },
  {
    name: 'destroy behind the end',
    run: (scene) => {
      noteErrors(scene);
      own(scene.res).end('body');
      scene.res.destroy();
    },
  },
  {
    name: 'early hints before the head',
    run: ({ res, see }) => {
      tried(see, 'hints', () => {
        res.writeEarlyHints({ link: '</a.css>; rel=preload' });
      });
      tried(see, 'bad hints', () => {
        res.writeEarlyHints({ link: 'nonsense' });
      });
      res.writeProcessing();
      res.writeHead(200);
      tried(see, 'hints', () => {
        res.writeEarlyHints({ link: '</b.css>; rel=preload' });
      });
      res.end('body');
    },
  },
  {
    name: 'cork and uncork',
    run: ({ res }) => {
      res.cork();
      res.write('one ');
      res.write('two');
      res.uncork();
      res.end();
    },
  },
  {
    name: 'a stream that is piped in, and a response behind it',
    run: async (scene) => {
      const { res, see } = scene;
      noteErrors(scene);
      Readable.from(['one ', 'two']).pipe(res);
      await new Promise((resolve) => setImmediate(resolve));
      tried(see, 'setHeader', () => res.setHeader('Content-Type', 'application/json'));
    },
  },
  {
    name: 'a pipeline of a megabyte',
    run: async ({ res, see, release }) => {
      release();
      await pipeline(Readable.from(Array.from({ length: 100 }, () => Buffer.alloc(10_000, 'x'))), res);
      see('over', [res.writableEnded, res.writableFinished]);
    },
  },
  {
    name: 'a pipeline into a response that has ended',
    run: async ({ res, see }) => {
      res.end('first');
      await pipeline(Readable.from(['second']), res).then(
        () => {
          see('taken');
        },
        () => {
          see('refused');
        },
      );
    },
  },
  {
    name: 'an error after the response',
    run: ({ res }) => {
      res.end('body');
      throw Object.assign(new Error('after the response'), { code: 'OWN' });
    },
  },
];
