import CoppiceTensors

/// A layer or network: parameters and parts with names, found in its properties.
///
/// Dotted names equal the names of the same architecture's tensors in Hugging Face checkpoints, so loading is a
/// lookup. Properties are looked through once, when something is first asked for: which parameters, states and parts a
/// module has is settled when it is made, what they hold is not.
open class Module {
    public init() {}

    /// All parameters with their dotted names, in the order of declaration, superclasses first.
    public var parameters: [(name: String, parameter: Parameter)] {
        collect(Parameter.self).map { ($0.name, $0.member) }
    }

    /// All state tensors with their dotted names.
    public var stateTensors: [(name: String, state: StateTensor)] {
        collect(StateTensor.self).map { ($0.name, $0.member) }
    }

    /// This module and all below it with their dotted names; the module itself has the empty name.
    public var modules: [(name: String, module: Module)] {
        var result: [(String, Module)] = []
        visit("") { result.append(($0, $1)) }
        return result
    }

    /// Number of trainable numbers.
    public var parameterCount: Int {
        parameters.filter(\.parameter.isTrainable).reduce(0) { $0 + $1.parameter.wrappedValue.count }
    }

    /// Replaces parameters and state by tensors of the same names, converted to the element types they have.
    ///
    /// - Parameters:
    ///   - excluded: parameters that stay as they are.
    ///   - lookup: the tensor of a name.
    /// - Throws: what `lookup` throws; `.badData` naming the tensor whose shape differs.
    public func load(
        source: String? = nil, excluding excluded: Set<String> = [], _ lookup: (String) throws -> Tensor
    ) throws {
        func checked(_ name: String, like own: Tensor) throws -> Tensor {
            let tensor = try lookup(name)
            guard tensor.shape == own.shape else {
                throw CoppiceError(
                    .badData, source: source, field: name, "shape \(tensor.shape), expected \(own.shape)")
            }
            return tensor.converted(to: own.dataType).copied()
        }
        for (name, parameter) in parameters where !excluded.contains(name) {
            parameter.wrappedValue = try checked(name, like: parameter.wrappedValue)
        }
        for (name, state) in stateTensors { state.wrappedValue = try checked(name, like: state.wrappedValue) }
    }

    /// What is in the properties, in the order of declaration, superclasses first.
    private lazy var members: [ModuleMember] = {
        var mirrors: [Mirror] = []
        var mirror: Mirror? = Mirror(reflecting: self)
        while let current = mirror, current.subjectType != Module.self {
            mirrors.append(current)
            mirror = current.superclassMirror
        }
        return mirrors.reversed().flatMap { $0.children.flatMap { Self.members(in: $0.value) } }
    }()

    private static func members(in value: Any) -> [ModuleMember] {
        // Casts to a class take no search for a protocol, which takes the longest when a type is first met.
        if let member = value as? ModuleMember { return [member] }
        return (value as? [Any])?.compactMap { $0 as? ModuleMember } ?? []
    }

    /// Calls `body` with this module and all below it, each before what is in it.
    private func visit(_ name: String, _ body: (_ name: String, Module) -> Void) {
        body(name, self)
        for member in members {
            for part in member.modules {
                part.module.visit(Self.path(name, member.path(part.suffix)), body)
            }
        }
    }

    private func collect<Member: ModuleMember>(_ type: Member.Type) -> [(name: String, member: Member)] {
        var result: [(name: String, member: Member)] = []
        collect(in: "", &result)
        return result
    }

    private func collect<Member: ModuleMember>(in name: String, _ result: inout [(name: String, member: Member)]) {
        for member in members {
            if let found = member as? Member { result.append((Self.path(name, member.key), found)) }
            for part in member.modules {
                part.module.collect(in: Self.path(name, member.path(part.suffix)), &result)
            }
        }
    }

    private static func path(_ name: String, _ part: String) -> String {
        name.isEmpty ? part : part.isEmpty ? name : "\(name).\(part)"
    }
}
