import Foundation

/// The functions that every template can call.
enum JinjaGlobals {
    static let functions: [String: JinjaValue] = {
        var functions: [String: JinjaValue] = [:]
        for (name, body) in bodies { functions[name] = .function(JinjaFunction(name: name, body: body)) }
        return functions
    }()

    private static let bodies: [String: JinjaFunction.Body] = [
        "range": { interpreter, call in
            let bounds = call.positional.compactMap(\.integer)
            guard (1...3).contains(bounds.count), bounds.count == call.positional.count else {
                throw interpreter.error("range: expected one to three whole numbers")
            }
            let (start, end) = bounds.count == 1 ? (0, bounds[0]) : (bounds[0], bounds[1])
            let step = bounds.count == 3 ? bounds[2] : 1
            guard step != 0 else { throw interpreter.error("range: the step must not be 0") }
            let length = (Double(end) - Double(start)) / Double(step)
            guard length <= Double(JinjaLimits.elements) else {
                throw interpreter.error("range: more than \(JinjaLimits.elements) elements")
            }
            return try interpreter.made(stride(from: start, to: end, by: step).map { .integer($0) })
        },
        "namespace": { _, call in
            let namespace = JinjaNamespace()
            if case .dictionary(let members)? = call.positional.first { namespace.fields = members }
            for (name, value) in call.named { namespace.fields[name] = value }
            return .namespace(namespace)
        },
        "dict": { _, call in
            var members: [(String, JinjaValue)] = []
            if case .dictionary(let given)? = call.positional.first { members = given.map { ($0.key, $0.value) } }
            for name in call.named.keys.sorted() { if let value = call.named[name] { members.append((name, value)) } }
            return .dictionary(.init(members, uniquingKeysWith: { $1 }))
        },
        "raise_exception": { interpreter, call in
            throw interpreter.error(call.positional.first?.text ?? "the template refuses the conversation")
        },
        "strftime_now": { interpreter, call in
            guard case .string(let format)? = call.positional.first, format.utf8.count <= 256 else {
                throw interpreter.error("strftime_now: expected a format")
            }
            var seconds = time_t(interpreter.date.timeIntervalSince1970)
            var parts = tm()
            localtime_r(&seconds, &parts)
            var buffer = [CChar](repeating: 0, count: 8192)
            let count = strftime(&buffer, buffer.count, format, &parts)
            return .string(String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self))
        },
    ]
}
