import Hummingbird

/// The routes of the server; the raw value is the path.
enum Route: String, CaseIterable, Sendable {
    case health = "/health"
    case metrics = "/metrics"
    case models = "/v1/models"
    case model = "/v1/models/{id}"
    case completions = "/v1/completions"
    case chatCompletions = "/v1/chat/completions"
    case tokenize = "/tokenize"
    case detokenize = "/detokenize"

    var method: HTTPRequest.Method {
        switch self {
        case .health, .metrics, .models, .model: .get
        case .completions, .chatCompletions, .tokenize, .detokenize: .post
        }
    }

    /// The pattern for the router. A model's name may have slashes in it.
    var pattern: RouterPath {
        self == .model ? "/v1/models/**" : RouterPath(rawValue)
    }

    func matches(_ path: String) -> Bool {
        self == .model ? path.hasPrefix("/v1/models/") && path.count > "/v1/models/".count : path == rawValue
    }
}
