import Hummingbird
import Logging

/// Logs each request when its answer's head is known: method, path, status and how long that took.
///
/// Neither query nor body nor headers are logged, as they may hold what users wrote and their keys.
struct AccessLogMiddleware: RouterMiddleware {
    typealias Context = ServingContext

    let logger: Logger

    func handle(
        _ request: Request, context: ServingContext, next: (Request, ServingContext) async throws -> Response
    ) async throws -> Response {
        let start = ContinuousClock.now
        let response = try await next(request, context)
        let elapsed = ContinuousClock.now - start
        logger.info(
            "\(request.method.rawValue) \(request.uri.path.prefix(200)) \(response.status.code)",
            metadata: [
                "duration_ms":
                    "\(elapsed.components.seconds * 1000 + elapsed.components.attoseconds / 1_000_000_000_000_000)"
            ])
        return response
    }
}
