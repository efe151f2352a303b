import type { FIXED_FIGURES } from './counting.js';

/** The most that a request may make of each. A change that needs more says why. */
export type Bounds = Readonly<Record<(typeof FIXED_FIGURES)[number], number>>;

export const BOUNDS: Readonly<Record<string, Bounds>> = {};
