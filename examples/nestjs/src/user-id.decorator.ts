// Gives a handler the id of the user who is signed in.
import { createParamDecorator, type ExecutionContext, UnauthorizedException } from '@nestjs/common'

/** Your own guard sets `request.user`; without it, nobody is signed in. */
export const UserId = createParamDecorator((_data: unknown, context: ExecutionContext): string => {
  const { user } = context.switchToHttp().getRequest<{ user?: { id: string } }>()
  if (!user) throw new UnauthorizedException()
  return user.id
})
