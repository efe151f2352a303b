export {
  backoffMs,
  isListed,
  laterTimes,
  leastRecentlyUsedFirst,
  retryPauseMs,
  type Usage,
} from './backends/backend-rules.js';
export { closeBackend, openBackend } from './backends/backend-opening.js';
export { MemoryBackend, type MemoryBackendOptions } from './backends/memory/memory.backend.js';
export { MigratingBackend } from './backends/migrating/migrating.backend.js';
export {
  SESSION_BACKEND,
  type BackendContext,
  type CreateOptions,
  type CreateResult,
  type DeleteResult,
  type ReplacedSession,
  type ReplaceOptions,
  type ReplaceResult,
  type DeleteByUserOptions,
  type EndedListener,
  type EndedSubscription,
  type ListByUserOptions,
  type ProgressOptions,
  type SessionBackend,
  type SessionLimit,
} from './backends/session-backend.interface.js';
export type { ClientIdentity } from './http/client-identity.js';
export { SESSION_CLOCK, type Clock } from './clock.js';
export { RequireFresh, RequirePermissions, RequireRoles, type FreshOptions } from './decorators/require.decorators.js';
export { AllowAnonymous, Public } from './decorators/route-metadata.js';
export { Passive } from './requests/passive.decorator.js';
export { EndsWithSession } from './decorators/ends-with-session.decorator.js';
export { SkipCsrf } from './csrf/skip-csrf.decorator.js';
export {
  CsrfToken,
  CurrentSession,
  CurrentUser,
  FlashMessages,
  OneTime,
  OptionalSession,
} from './decorators/session-parameter.decorators.js';
export type { SessionProperty } from './decorators/session-parameter.decorators.js';
export { UseSession } from './session.interceptor.js';
export { SessionError, type SessionErrorCode, type SessionErrorOptions } from './errors/session-error.js';
export {
  SessionBackendError,
  SessionConflictError,
  SessionCsrfError,
  SessionDataError,
  SessionExpiredError,
  SessionForbiddenError,
  SessionInvalidError,
  SessionNotFoundError,
  SessionSecurityError,
  SessionStaleError,
  SessionTokenError,
  SessionUsageError,
  type DataFault,
  type RequiredProof,
} from './errors/session-errors.js';
export type {
  SessionCause,
  SessionCreatedEvent,
  SessionEndedEvent,
  SessionEndReason,
  SessionEvent,
  SessionEventOrigin,
  SessionRegeneratedEvent,
  SessionRejectedEvent,
  SessionRenewedEvent,
  SessionUserUpdatedEvent,
  SessionReusedEvent,
  SessionStaleEvent,
  StoreDownEvent,
  StoreUpEvent,
} from './events/session-event.js';
export { SessionTraceError, type SessionTrace } from './events/session-channels.js';
export { SessionEvents } from './events/session-events.js';
export type { ContextReader, ContextRequest } from './options/context-reader.interface.js';
export type { FormerCookie } from './options/former-cookies.js';
export { SessionCookieOptions } from './options/session-cookie-options.js';
export { SessionCsrfOptions } from './options/session-csrf-options.js';
export { SessionJwtOptions } from './options/session-jwt-options.js';
export type { LifetimeOptions, SessionLifetimesOptions } from './options/session-lifetimes-options.js';
export {
  SessionOptions,
  type IpNetworkBinding,
  type PassiveCheck,
  type PassiveRequest,
  type TokenSource,
} from './options/session-options.js';
export type { SessionModuleOptions } from './session.module-definition.js';
export { DamagedRecordError, NewerRecordError } from './records/record-errors.js';
export { decodeRecord, encodeRecord } from './records/record-text.js';
export type { StoredText } from './records/stored-text.js';
export type { ReadRecord, SessionRecord, SessionStatus, SessionTimes } from './records/session-record.js';
export type { OneTimeOptions, OneTimeValues } from './requests/one-time-values.js';
export type { LoginOptions, StartOptions, TransportOptions } from './requests/request-options.js';
export { SessionGuard } from './session.guard.js';
export { SessionInterceptor } from './session.interceptor.js';
export { SessionModule } from './session.module.js';
export type { SessionModuleExtras, SessionOptionsFactory } from './session.module-definition.js';
export {
  SessionService,
  type CreateSessionOptions,
  type EndAllOptions,
  type EndOptions,
  type RegenerateOptions,
} from './session.service.js';
export type { FlashMessage } from './records/flash-message.js';
export type { NewSessionLifetime, SessionLifetime } from './sessions/session-lifetimes.js';
export type { ProofOptions } from './sessions/proof-of-identity.js';
export type { CredentialsChange, IssuedSession, LoginResult, SessionSummary } from './sessions/session-results.js';
export type { NewSessionUser, OneTimeData, SessionData, SessionUser } from './records/session-user.js';
export type { HeldStatus } from './sessions/session-state.js';
export { Session } from './sessions/session.js';
export { JwtTokenSerializer, type JwtTokenOptions } from './tokens/jwt-token.serializer.js';
export { generateSecretKey } from './tokens/secret-key.js';
export { SimpleTokenSerializer, type SimpleTokenOptions } from './tokens/simple-token.serializer.js';
export type { SessionId, SessionSecret, UserTag } from './tokens/session-secret.js';
export {
  TOKEN_SERIALIZER,
  type TokenClaims,
  type TokenSerializer,
  type TokenVerdict,
} from './tokens/token-serializer.interface.js';
