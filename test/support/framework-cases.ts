import type { Response as ExpressResponse } from 'express';
import type { FastifyReply } from 'fastify';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

import { tried, type ResponseCase, type Scene } from './response-cases.js';

const FILE = fileURLToPath(new URL('../../package.json', import.meta.url));

interface Options {
  readonly method?: 'GET' | 'HEAD';
}

function express(
  name: string,
  run: (response: ExpressResponse, scene: Scene) => unknown,
  options: Options = {},
): ResponseCase {
  return { name, ...options, run: (scene) => run(scene.reply as ExpressResponse, scene) };
}

/** Handlers of Express that respond twice, and some that do so once. */
export const EXPRESS_CASES: readonly ResponseCase[] = [
  express('json', (res) => res.status(201).json({ first: true })),
  express('json twice', (res) => {
    res.json({ first: true });
    res.status(500).json({ second: 'longer than the first' });
  }),
  express('redirect, then send', (res) => {
    res.redirect('/');
    res.send('a page');
  }),
  express('send, then redirect', (res) => {
    res.send('a page');
    res.redirect('/');
  }),
  express('sendStatus, then json', (res) => {
    res.sendStatus(404);
    res.json({ second: true });
  }),
  express('send of nothing, then send', (res) => {
    res.status(204).send();
    res.send('second');
  }),
  express('end, then json', (res) => {
    res.end('first');
    res.json({ second: true });
  }),
  express('json, then end', (res) => {
    // Node's error event. Compression and sessions of others hide it.
    res.on('error', () => undefined);
    res.json({ first: true });
    res.end('second');
  }),
  express('all that sets headers, after json', (res, { see }) => {
    res.json({ first: true });
    tried(see, 'status', () => res.status(500));
    tried(see, 'a bad status', () => res.status(1000));
    tried(see, 'set', () => res.set('X-Late', 'late'));
    tried(see, 'append', () => res.append('X-Late', 'late'));
    tried(see, 'type', () => res.type('html'));
    tried(see, 'vary', () => res.vary('X-Late'));
    tried(see, 'location', () => res.location('/late'));
    tried(see, 'links', () => res.links({ next: '/late' }));
    tried(see, 'attachment', () => res.attachment('late.txt'));
    tried(see, 'cookie', () => res.cookie('late', '1'));
    tried(see, 'clearCookie', () => res.clearCookie('late'));
    tried(see, 'get', () => res.get('Content-Type'));
    tried(see, 'sendStatus', () => res.sendStatus(500));
    tried(see, 'redirect', () => {
      res.redirect('/late');
    });
    tried(see, 'jsonp', () => res.jsonp({ late: true }));
    tried(see, 'format', () => res.format({ json: () => res.send('late') }));
  }),
  express('a file, and json at once', (res, { see, release }) => {
    release();
    return new Promise<void>((resolve) => {
      res.sendFile(FILE, { headers: { 'X-File': 'file' }, lastModified: false }, (error) => {
        see('sent', (error as { code?: string } | undefined)?.code);
        resolve();
      });
    });
  }),
  express('json, then a file', (res) => {
    res.json({ first: true });
    return new Promise<void>((resolve) => {
      res.sendFile(FILE, () => {
        resolve();
      });
    });
  }),
  express(
    'HEAD, twice',
    (res) => {
      res.json({ first: true });
      res.json({ second: true });
    },
    { method: 'HEAD' },
  ),
  express('a stream that is piped in, then json', (res, { see }) => {
    Readable.from(['one ', 'two']).pipe(res);
    return new Promise<void>((resolve) => {
      setImmediate(() => {
        tried(see, 'json', () => res.json({ second: true }));
        resolve();
      });
    });
  }),
  express('an error after json', (res) => {
    res.json({ first: true });
    throw new Error('after the response');
  }),
];

function fastify(
  name: string,
  run: (reply: FastifyReply, scene: Scene) => unknown,
  options: Options = {},
): ResponseCase {
  return { name, hijacks: false, ...options, run: (scene) => run(scene.reply as FastifyReply, scene) };
}

/** The same of Fastify. */
export const FASTIFY_CASES: readonly ResponseCase[] = [
  fastify('send', (reply) => reply.code(201).header('X-Own', 'own').send({ first: true })),
  fastify('send twice', (reply, { see }) => {
    reply.send({ first: true });
    tried(see, 'send', () => reply.code(500).send({ second: 'longer than the first' }));
    see('sent', reply.sent);
  }),
  fastify('headers after send', (reply, { see }) => {
    reply.header('X-List', 'one').header('Set-Cookie', 'a=1').send({ first: true });
    tried(see, 'header', () => reply.header('X-Late', 'late'));
    tried(see, 'header Content-Length', () => reply.header('Content-Length', 1));
    tried(see, 'header Set-Cookie', () => reply.header('Set-Cookie', 'b=2'));
    tried(see, 'headers', () => reply.headers({ 'X-Late': 'late' }));
    tried(see, 'removeHeader', () => reply.removeHeader('Set-Cookie'));
    tried(see, 'type', () => reply.type('text/html'));
    tried(see, 'code', () => reply.code(500));
    see('getHeader', reply.getHeader('x-list'));
  }),
  fastify('redirect, then send', (reply, { see }) => {
    reply.redirect('/', 302);
    tried(see, 'send', () => reply.send('a page'));
  }),
  fastify('send, then redirect', (reply, { see }) => {
    reply.send('a page');
    tried(see, 'redirect', () => reply.redirect('/', 302));
  }),
  fastify('send, then the response below', (reply, { see }) => {
    reply.send({ first: true });
    const { raw } = reply;
    raw.on('error', () => {
      see('event');
    });
    tried(see, 'setHeader', () => raw.setHeader('X-Late', 'late'));
    tried(see, 'writeHead', () => raw.writeHead(500));
    tried(see, 'write', () => raw.write('second'));
    tried(see, 'end', () => raw.end('second'));
    see('ended', raw.writableEnded);
  }),
  fastify('the response below, then send', (reply, { see }) => {
    reply.raw.writeHead(201, { 'X-Own': 'own' });
    reply.raw.end('first');
    tried(see, 'send', () => reply.send({ second: true }));
  }),
  fastify('half of the response below, then send', (reply, { see, res }) => {
    res.write('first');
    tried(see, 'send', () => reply.send({ second: true }));
    see('state', [res.headersSent, res.writableEnded]);
    if (!res.writableEnded) res.destroy();
  }),
  fastify('hijack, then send', (reply, { see }) => {
    reply.hijack();
    reply.raw.end('first');
    tried(see, 'send', () => reply.send({ second: true }));
  }),
  fastify('a stream, then send', (reply, { see }) => {
    reply.send(Readable.from(['one ', 'two']));
    tried(see, 'send', () => reply.send({ second: true }));
  }),
  fastify('trailers', (reply) => {
    reply.trailer('x-sum', () => Promise.resolve('2'));
    reply.send('body');
  }),
  fastify('nothing, then send', (reply, { see }) => {
    reply.code(204).send();
    tried(see, 'send', () => reply.send({ second: true }));
  }),
  fastify(
    'HEAD, twice',
    (reply, { see }) => {
      reply.send({ first: true });
      tried(see, 'send', () => reply.send({ second: true }));
    },
    { method: 'HEAD' },
  ),
  fastify('an error after send', (reply) => {
    reply.send({ first: true });
    throw new Error('after the response');
  }),
];
