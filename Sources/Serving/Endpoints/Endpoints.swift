import CoppiceInference
import CoppiceModels
import Foundation
import Hummingbird
import Logging
import NIOCore

/// The handlers of all routes, over what they share.
struct Endpoints: Sendable {
    let directory: ModelDirectory
    let configuration: ServerConfiguration
    let metrics: ServerMetrics
    let connections: ConnectionRegistry
    let drain: Drain
    let logger: Logger
    /// When the server was made, in seconds since 1970: the `created` of its models.
    let started: Int

    /// The router with every route behind its middlewares.
    func router() -> Router<ServingContext> {
        let router = Router(context: ServingContext.self, options: .autoGenerateHeadEndpoints)
        if configuration.logsRequests { router.add(middleware: AccessLogMiddleware(logger: logger)) }
        router.add(middleware: MetricsMiddleware(metrics: metrics))
        router.add(middleware: ErrorMiddleware(logger: logger))
        if let keys = configuration.apiKeys { router.add(middleware: AuthenticationMiddleware(keys: keys)) }
        router.add(middleware: DrainMiddleware(drain: drain))
        for route in Route.allCases {
            router.on(route.pattern, method: route.method) { request, context in
                try await respond(to: request, context, route)
            }
        }
        return router
    }

    private func respond(to request: Request, _ context: ServingContext, _ route: Route) async throws -> Response {
        switch route {
        case .health: health()
        case .metrics: metricsPage()
        case .models: models()
        case .model: try model(named: modelName(in: request.uri.path))
        case .completions: try await complete(fields(of: request), context)
        case .chatCompletions: try await chat(fields(of: request), context)
        case .tokenize: try tokenize(try await fields(of: request))
        case .detokenize: try detokenize(try await fields(of: request))
        }
    }

    /// Reads the body, up to the limit, as a JSON object.
    private func fields(of request: Request) async throws -> RequestFields {
        var request = request
        let limit = configuration.maximumBodyBytes
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > limit {
            throw APIError.bodyTooLarge(limit: limit)
        }
        let body: ByteBuffer
        do {
            body = try await request.collectBody(upTo: limit)
        } catch is NIOTooManyBytesError {
            throw APIError.bodyTooLarge(limit: limit)
        } catch {
            // It broke off, or its chunks are malformed.
            throw APIError.invalid(nil, code: "malformed_body", "the request body could not be read to its end")
        }
        return try RequestFields(parsing: body)
    }

    private func modelName(in path: String) -> String {
        let name = String(path.dropFirst("/v1/models/".count))
        return name.removingPercentEncoding ?? name
    }

    /// Starts generating for the request that came over `context`'s connection.
    func generate(
        _ requests: [GenerationRequest], on engine: any TextEngine, _ context: ServingContext
    ) throws -> Generation {
        try Generation(
            requests, on: engine, connection: connections.connection(of: context.channel), drain: drain,
            metrics: metrics, logger: logger)
    }

    /// The tokens that may follow a prompt: as many as asked for and the context has room for.
    ///
    /// - Throws: ``APIError`` (400) when the prompt is empty or leaves no room.
    func room(after promptTokens: [Int], asked: Int?, parameter: String, _ engine: any TextEngine) throws -> Int {
        guard !promptTokens.isEmpty else {
            throw APIError.invalid(parameter, "must not be empty: this model has no token that begins a text")
        }
        let context = engine.maximumContext
        guard promptTokens.count < context else {
            throw APIError.invalid(
                parameter, code: "context_length_exceeded",
                "this model's context holds \(context) tokens, and the prompt has \(promptTokens.count)"
                    + (promptTokens.count == context ? ", which leaves none for the answer" : ""))
        }
        return min(asked ?? engine.longestUnlimitedAnswer, context - promptTokens.count)
    }
}
