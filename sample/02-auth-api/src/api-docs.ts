import { applyDecorators, type INestApplication } from '@nestjs/common';
import { ApiBearerAuth, ApiSecurity, ApiUnauthorizedResponse, DocumentBuilder, SwaggerModule } from '@nestjs/swagger';

const SESSION_HEADER = 'X-Session-Token';

/** Swagger UI at /docs, the description itself at /docs-json. */
export function serveApiDocs(app: INestApplication): void {
  const config = new DocumentBuilder()
    .setTitle('Auth API')
    .setDescription(`Log in, then send the token as \`Authorization: Bearer\` or as \`${SESSION_HEADER}\`.`)
    .setVersion('1.0')
    .addBearerAuth(
      { type: 'http', scheme: 'bearer', bearerFormat: 'opaque', description: 'The token that the login has answered' },
      'bearer',
    )
    .addApiKey(
      { type: 'apiKey', in: 'header', name: SESSION_HEADER, description: 'The same token, in a header of its own' },
      SESSION_HEADER,
    )
    .build();
  SwaggerModule.setup('docs', app, () => SwaggerModule.createDocument(app, config));
}

/** Documents that a route, or a controller, wants a session, in either header. */
export function ApiSession(): ClassDecorator & MethodDecorator {
  return applyDecorators(
    ApiBearerAuth('bearer'),
    ApiSecurity(SESSION_HEADER),
    ApiUnauthorizedResponse({ description: 'No session, or one that has ended or belongs to another client' }),
  );
}
