// Owns the page that needs a token. What goes wrong with the token is left to the filter.
import { Controller, Get } from '@nestjs/common'
import { RepositoriesService } from './repositories.service.js'
import { UserId } from './user-id.decorator.js'

@Controller('repositories')
export class RepositoriesController {
  constructor(private readonly repositories: RepositoriesService) {}

  @Get()
  findAll(@UserId() userId: string): Promise<unknown> {
    return this.repositories.findAll(userId)
  }
}
