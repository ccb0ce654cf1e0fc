import CoppiceModels
import CoppiceTensors
import Hummingbird

/// An answer that is an error, in the form that OpenAI clients read:
/// `{"error": {"message", "type", "param", "code"}}`.
struct APIError: Error, Sendable {
    var status: HTTPResponse.Status
    /// The class of error, such as `invalid_request_error`.
    var type: String
    /// The request field that is wrong.
    var parameter: String?
    /// A stable word for programs, such as `model_not_found`.
    var code: String?
    var message: String
    /// Seconds after which a retry makes sense.
    var retryAfter: Int?
    /// The methods that the route has, for 405.
    var allowedMethods: [String] = []

    init(
        _ status: HTTPResponse.Status, type: String, parameter: String? = nil, code: String? = nil, _ message: String,
        retryAfter: Int? = nil
    ) {
        self.status = status
        self.type = type
        self.parameter = parameter
        self.code = code
        self.message = message
        self.retryAfter = retryAfter
    }

    /// A request that cannot be served as it is (400).
    static func invalid(_ parameter: String?, code: String? = nil, _ message: String) -> APIError {
        let text = parameter.map { "\($0): \(message)" } ?? message
        return APIError(.badRequest, type: "invalid_request_error", parameter: parameter, code: code, text)
    }

    static let shuttingDown = APIError(
        .serviceUnavailable, type: "server_error", code: "shutting_down", "the server is shutting down", retryAfter: 5)

    static let internalFault = APIError(
        .internalServerError, type: "server_error", code: "internal_error", "the server failed to process the request")

    /// The client closed the connection; nobody reads this answer, but logs and metrics count it.
    static let clientGone = APIError(
        .init(code: 499, reasonPhrase: "Client Closed Request"), type: "invalid_request_error", code: "client_gone",
        "the client closed the connection")

    static func bodyTooLarge(limit: Int) -> APIError {
        APIError(
            .contentTooLarge, type: "invalid_request_error", code: "body_too_large",
            "the request body is larger than the limit of \(limit) bytes")
    }

    /// What an engine's refusal of a request means to the client.
    init(refusal error: any Error, isDraining: Bool) {
        switch error {
        case let error as APIError:
            self = error
        case let error as CoppiceError where error.kind == .unavailable:
            self =
                isDraining
                ? .shuttingDown
                : APIError(
                    .tooManyRequests, type: "rate_limit_error", code: "queue_full", error.description, retryAfter: 1)
        case let error as CoppiceError where error.kind == .badData || error.kind == .usage:
            self = .invalid(error.field, error.message)
        default:
            self = .internalFault
        }
    }

    /// The object that goes into the body, or into an event of a stream that has begun.
    var json: JSON {
        .object([
            "error": .object([
                "message": .string(message),
                "type": .string(type),
                "param": parameter.map { .string($0) } ?? .null,
                "code": code.map { .string($0) } ?? .null,
            ])
        ])
    }

    var response: Response {
        var response = Response.json(json, status: status)
        if let retryAfter { response.headers[.retryAfter] = "\(retryAfter)" }
        if status == .unauthorized { response.headers[.wwwAuthenticate] = "Bearer" }
        if !allowedMethods.isEmpty { response.headers[.allow] = allowedMethods.joined(separator: ", ") }
        return response
    }
}

extension Response {
    /// A whole JSON document as an answer.
    static func json(_ value: JSON, status: HTTPResponse.Status = .ok) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: value.serialized(pretty: false))))
    }
}
