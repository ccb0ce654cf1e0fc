import CoppiceInference
import CoppiceModels
import Hummingbird

extension Endpoints {
    /// `GET /health`: the server answers, and is not shutting down.
    func health() -> Response { .json(.object(["status": .string("ok")])) }

    /// `GET /metrics`.
    func metricsPage() -> Response {
        let page = metrics.page(engines: directory.engines, connections: connections.count)
        return Response(
            status: .ok, headers: [.contentType: PrometheusText.contentType],
            body: ResponseBody(byteBuffer: ByteBuffer(string: page)))
    }

    /// `GET /v1/models`.
    func models() -> Response {
        .json(.object(["object": .string("list"), "data": .array(directory.engines.map(entry))]))
    }

    /// `GET /v1/models/{id}`.
    func model(named name: String) throws -> Response {
        .json(entry(try directory.engine(named: name)))
    }

    private func entry(_ engine: any TextEngine) -> JSON {
        .object([
            "id": .string(engine.modelName),
            "object": .string("model"),
            "created": .integer(started),
            "owned_by": .string("coppice"),
            "max_model_len": .integer(engine.maximumContext),
        ])
    }
}
