export { FakeClock } from './fake-clock.js';
export { logIn, type LoggedIn } from './log-in.js';
