import { applyDecorators, type INestApplication } from '@nestjs/common';
import {
  ApiBearerAuth,
  ApiSecurity,
  ApiUnauthorizedResponse,
  DocumentBuilder,
  SwaggerModule,
  type OpenAPIObject,
} from '@nestjs/swagger';

const SESSION_HEADER = 'X-Session-Token';
const SESSION_COOKIE = 'cookie';

export interface ApiDocsOptions {
  /** The cookie in which sessions arrive as well. */
  readonly cookieName?: string;
}

/** Swagger UI at /docs, the description itself at /docs-json. */
export function serveApiDocs(app: INestApplication, { cookieName }: ApiDocsOptions = {}): void {
  const config = new DocumentBuilder()
    .setTitle('Auth API')
    .setDescription(`Log in, then send the token as \`Authorization: Bearer\` or as \`${SESSION_HEADER}\`.`)
    .setVersion('1.0')
    .addBearerAuth(
      { type: 'http', scheme: 'bearer', bearerFormat: 'opaque', description: 'The token in the response of the login' },
      'bearer',
    )
    .addApiKey(
      { type: 'apiKey', in: 'header', name: SESSION_HEADER, description: 'The same token, in a header of its own' },
      SESSION_HEADER,
    );
  if (cookieName !== undefined) config.addCookieAuth(cookieName, { type: 'apiKey' }, SESSION_COOKIE);
  SwaggerModule.setup('docs', app, () => {
    const document = SwaggerModule.createDocument(app, config.build());
    if (cookieName !== undefined) acceptCookie(document);
    return document;
  });
}

/** Whatever takes the token in a header takes it in the cookie. */
function acceptCookie({ paths }: OpenAPIObject): void {
  for (const path of Object.values(paths)) {
    for (const operation of [path.get, path.post, path.put, path.delete]) {
      if (operation?.security) operation.security = [...operation.security, { [SESSION_COOKIE]: [] }];
    }
  }
}

/** Documents that a route, or a controller, wants a session, in either header. */
export function ApiSession(): ClassDecorator & MethodDecorator {
  return applyDecorators(
    ApiBearerAuth('bearer'),
    ApiSecurity(SESSION_HEADER),
    ApiUnauthorizedResponse({ description: 'No session, or one that has ended or belongs to another client' }),
  );
}
