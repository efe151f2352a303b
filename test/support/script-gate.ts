import { Redis } from 'ioredis';
import { sessionRedisOptions } from 'nestjs-sessionx/redis';

/** A client of the application's before which a test can stop the scripts of the backend, to put other calls in between. */
export class ScriptGate {
  readonly client: Redis;
  #passing = Infinity;
  #fate: 'held' | 'lost' = 'lost';
  #onHeld: () => void = () => undefined;
  readonly #waiting: (() => void)[] = [];
  #shiftMs = 0;
  /** How many were sent. */
  scripts = 0;

  constructor(port: number, timeoutMs: number) {
    const client = new Redis({ ...sessionRedisOptions(timeoutMs), port, host: '127.0.0.1', lazyConnect: true });
    const sendCommand = client.sendCommand.bind(client);
    client.sendCommand = (command, stream) => {
      const isScript = command.name.startsWith('eval');
      if (isScript) this.scripts++;
      const shiftMs = this.#shiftMs;
      const send = () => {
        if (isScript && shiftMs !== 0) void command.promise.then((reply) => shiftTime(reply, shiftMs));
        return sendCommand(command, stream);
      };
      if (!isScript || this.#passing-- > 0) return send();
      if (this.#fate === 'lost') return Promise.reject(new Error('the script was lost'));
      const held = new Promise<void>((resolve) => this.#waiting.push(resolve));
      this.#onHeld();
      return held.then(send);
    };
    this.client = client;
  }

  /** So many scripts pass from now on; those after them fail, as when the process ends or the connection breaks. */
  loseScripts(after: number): void {
    this.#passing = after;
    this.#fate = 'lost';
  }

  /** So many scripts pass from now on; those after them wait. Resolves when one waits. */
  holdScripts(after: number): Promise<void> {
    this.#passing = after;
    this.#fate = 'held';
    return new Promise((resolve) => (this.#onHeld = resolve));
  }

  /** The replies to scripts that are sent from now on tell another time of the server, as if its clock were set right after them. */
  shiftTime(shiftMs: number): void {
    this.#shiftMs = shiftMs;
  }

  /** All scripts pass again, those that wait too. */
  heal(): void {
    this.#passing = Infinity;
    for (const letGo of this.#waiting.splice(0)) letGo();
  }
}

/** A reply is the number of its call, the result, and the time of the server. */
function shiftTime(reply: unknown, shiftMs: number): void {
  if (Array.isArray(reply) && typeof reply[2] === 'number') reply[2] += shiftMs;
}
