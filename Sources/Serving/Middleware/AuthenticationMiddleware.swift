import Hummingbird

/// Admits requests that present one of the server's keys; `/health` needs none, as load balancers have none.
struct AuthenticationMiddleware: RouterMiddleware {
    typealias Context = ServingContext

    let keys: APIKeys

    func handle(
        _ request: Request, context: ServingContext, next: (Request, ServingContext) async throws -> Response
    ) async throws -> Response {
        if request.uri.path == "/health" { return try await next(request, context) }
        guard let header = request.headers[.authorization] else {
            throw Self.refusal("no API key given: expected the header Authorization: Bearer KEY")
        }
        let parts = header.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer", keys.accepts(parts[1]) else {
            throw Self.refusal("the API key is not valid")
        }
        return try await next(request, context)
    }

    private static func refusal(_ message: String) -> APIError {
        APIError(.unauthorized, type: "invalid_request_error", code: "invalid_api_key", message)
    }
}
