import Hummingbird

/// Counts each request by route and status, from its head until the last byte of its answer is written.
struct MetricsMiddleware: RouterMiddleware {
    typealias Context = ServingContext

    let metrics: ServerMetrics

    func handle(
        _ request: Request, context: ServingContext, next: (Request, ServingContext) async throws -> Response
    ) async throws -> Response {
        let flight = metrics.takeOff()
        var response = try await next(request, context)
        // Only known routes and methods become labels: a client must not be able to make up new series.
        let route = Route.allCases.first { $0.matches(request.uri.path) }
        let isKnown = [.get, .post, .head].contains(request.method)
        let answer = ServerMetrics.Answer(
            method: isKnown ? request.method.rawValue : "other", route: route?.rawValue ?? "other",
            status: response.status.code)
        let body = response.body
        guard body.contentLength == nil else {
            flight.finish(answer)
            return response
        }
        response.body = ResponseBody { writer in
            do {
                try await body.write(writer)
                flight.finish(answer)
            } catch {
                flight.finish(answer)
                throw error
            }
        }
        return response
    }
}
