import { availableParallelism } from 'node:os';

/** Runs the steps of the test, each when it has what it needs and a processor is free, and tells how each went. */
export class Report {
  #startedAt = performance.now();
  #steps = [];
  #failures = [];
  #passed = 0;
  // More at once would only make each of them slower, and the slowest look like one that hangs.
  #free = availableParallelism();
  #waiting = [];

  /**
   * @param needs promises of other steps; `action` gets what they resolve to. When one of them fails, this step is left out.
   * @param action returns what later steps need; throws when the package is at fault
   */
  step(name, needs, action) {
    const outcome = this.#outcomeOf(name, needs, action);
    this.#steps.push(outcome.catch(() => undefined));
    return outcome;
  }

  async end() {
    await Promise.all(this.#steps);
    const time = inSeconds(this.#startedAt);
    if (this.#passed === this.#steps.length) {
      console.log(`\nThe package passed all ${this.#passed} steps, in ${time}.`);
      return;
    }
    const leftOut = this.#steps.length - this.#passed - this.#failures.length;
    console.error(`\nThe package failed, in ${time}:\n${this.#failures.map((name) => `- ${name}`).join('\n')}`);
    if (leftOut > 0) console.error(`Left out for want of what these should have made: ${leftOut} more steps.`);
    process.exitCode = 1;
  }

  async #outcomeOf(name, needs, action) {
    const needed = await Promise.all(needs);
    await this.#turn();
    const startedAt = performance.now();
    try {
      const result = await action(...needed);
      this.#passed += 1;
      console.log(`ok   ${name} (${inSeconds(startedAt)})`);
      return result;
    } catch (error) {
      this.#failures.push(name);
      console.error(`FAIL ${name}\n${indented(error instanceof Error ? error.message : String(error))}`);
      throw error;
    } finally {
      this.#next();
    }
  }

  async #turn() {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise((resolve) => this.#waiting.push(resolve));
  }

  #next() {
    const resolve = this.#waiting.shift();
    if (resolve === undefined) this.#free += 1;
    else resolve();
  }
}

function inSeconds(startedAt) {
  return `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
}

function indented(text) {
  return text.replace(/^/gm, '     ');
}
