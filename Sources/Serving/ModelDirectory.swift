import CoppiceInference
import CoppiceTensors

/// The engines that a server speaks for, by the name of their model.
struct ModelDirectory: Sendable {
    /// In the order in which they were given.
    let engines: [any TextEngine]

    /// - Throws: `CoppiceError` of kind `.usage` when there is no engine or two have the same name.
    init(_ engines: [any TextEngine]) throws {
        guard !engines.isEmpty else {
            throw CoppiceError(.usage, source: "server", "expected at least one model to serve")
        }
        var names = Set<String>()
        for engine in engines where !names.insert(engine.modelName).inserted {
            throw CoppiceError(.usage, source: "server", "two models have the name \(engine.modelName)")
        }
        self.engines = engines
    }

    /// The engine that a request names; a request that names none gets the only one.
    ///
    /// - Throws: ``APIError``: 404 for an unknown name, 400 when a name is needed and missing.
    func engine(named name: String?) throws -> any TextEngine {
        guard let name else {
            if engines.count == 1 { return engines[0] }
            throw APIError.invalid("model", "required, one of: \(names)")
        }
        if let engine = engines.first(where: { $0.modelName == name }) { return engine }
        throw APIError(
            .notFound, type: "invalid_request_error", parameter: "model", code: "model_not_found",
            "the model '\(name.prefix(200))' does not exist; this server has: \(names)")
    }

    private var names: String { engines.map(\.modelName).joined(separator: ", ") }
}
