import { Redis } from 'ioredis';
import { sessionRedisOptions } from 'nestjs-sessionx/redis';

/** A client of the application's before which a test can stop the scripts of the backend, to put other calls in between. */
export class ScriptGate {
  readonly client: Redis;
  #passing = Infinity;
  #fate: 'held' | 'lost' = 'lost';
  #onHeld: () => void = () => undefined;
  readonly #waiting: (() => void)[] = [];

  constructor(port: number, timeoutMs: number) {
    const client = new Redis({ ...sessionRedisOptions(timeoutMs), port, host: '127.0.0.1', lazyConnect: true });
    const sendCommand = client.sendCommand.bind(client);
    client.sendCommand = (command, stream) => {
      const send = () => sendCommand(command, stream);
      if (!command.name.startsWith('eval') || this.#passing-- > 0) return send();
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

  /** All scripts pass again, those that wait too. */
  heal(): void {
    this.#passing = Infinity;
    for (const letGo of this.#waiting.splice(0)) letGo();
  }
}
