import Hummingbird

/// Refuses new work with 503 once a shutdown was asked for. Metrics stay readable until the end.
struct DrainMiddleware: RouterMiddleware {
    typealias Context = ServingContext

    let drain: Drain

    func handle(
        _ request: Request, context: ServingContext, next: (Request, ServingContext) async throws -> Response
    ) async throws -> Response {
        guard !drain.isDraining || request.uri.path == "/metrics" else { throw APIError.shuttingDown }
        return try await next(request, context)
    }
}
