export { asBrowser, type BrowserRequest, type BrowserResponse } from './as-browser.js';
export type { BackendSubject, DamagedKey } from './conformance/arena.js';
export { backendConformance } from './conformance/backend-conformance.js';
export type { ConformanceCase } from './conformance/conformance-case.js';
export { fakeSession, type FakeSessionOptions } from './fake-session.js';
export { FakeClock } from './fake-clock.js';
export { logIn, type LoggedIn } from './log-in.js';
