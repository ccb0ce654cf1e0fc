import Hummingbird
import Logging

/// Turns whatever went wrong further in into an answer with an OpenAI error object.
struct ErrorMiddleware: RouterMiddleware {
    typealias Context = ServingContext

    let logger: Logger

    func handle(
        _ request: Request, context: ServingContext, next: (Request, ServingContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let error as APIError {
            return error.response
        } catch let error as HTTPError where error.status == .notFound {
            return Self.unknownRoute(request).response
        } catch is CancellationError {
            return APIError.clientGone.response
        } catch {
            // The details are for the operator; to the client they would only show the inside.
            logger.error("request failed: \(error)", metadata: ["path": "\(request.uri.path.prefix(200))"])
            return APIError.internalFault.response
        }
    }

    /// 404, or 405 for a route that exists with other methods.
    private static func unknownRoute(_ request: Request) -> APIError {
        let path = String(request.uri.path.prefix(200))
        if let route = Route.allCases.first(where: { $0.matches(request.uri.path) }) {
            var error = APIError(
                .methodNotAllowed, type: "invalid_request_error", code: "method_not_allowed",
                "\(path) takes \(route.method.rawValue), not \(request.method.rawValue.prefix(20))")
            error.allowedMethods = route.method == .get ? ["GET", "HEAD"] : ["POST"]
            return error
        }
        return APIError(
            .notFound, type: "invalid_request_error", code: "unknown_route",
            "there is no \(request.method.rawValue.prefix(20)) \(path)")
    }
}
