export { RedisBackend, type RedisBackendOptions } from './backends/redis/redis.backend.js';
export {
  sessionClusterOptions,
  sessionRedisOptions,
  type SessionClusterOptions,
  type SessionRedisOptions,
} from './backends/redis/redis-client-options.js';
