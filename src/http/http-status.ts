/** Status codes as plain numbers, for comparisons with those of responses. Nest's `HttpStatus` is an enum. */
export const OK = 200;
export const NOT_MODIFIED = 304;
export const FIRST_ERROR_STATUS = 400;
export const UNAUTHORIZED = 401;
export const INTERNAL_SERVER_ERROR = 500;
export const SERVICE_UNAVAILABLE = 503;
