import CoppiceTensors

/// A layer or network: parameters and parts with names, found in its properties.
///
/// Dotted names equal the names of the same architecture's tensors in Hugging Face checkpoints, so loading is a
/// lookup.
open class Module {
    public init() {}

    /// All parameters with their dotted names, in the order of declaration, superclasses first.
    public var parameters: [(name: String, parameter: Parameter)] { collect("") { $0 as? Parameter } }

    /// All state tensors with their dotted names.
    public var stateTensors: [(name: String, state: StateTensor)] {
        collect("") { $0 as? StateTensor }.map { ($0.name, $0.parameter) }
    }

    /// This module and all below it with their dotted names; the module itself has the empty name.
    public var modules: [(name: String, module: Module)] {
        var result: [(String, Module)] = [("", self)]
        for (name, child) in children {
            result += child.modules.map { ([name, $0.name].filter { !$0.isEmpty }.joined(separator: "."), $0.module) }
        }
        return result
    }

    /// Number of trainable numbers.
    public var parameterCount: Int {
        parameters.filter(\.parameter.isTrainable).reduce(0) { $0 + $1.parameter.wrappedValue.count }
    }

    /// Replaces parameters and state by tensors of the same names, converted to the element types they have.
    ///
    /// - Parameter lookup: the tensor of a name.
    /// - Throws: what `lookup` throws; `.badData` naming the tensor whose shape differs.
    public func load(source: String? = nil, _ lookup: (String) throws -> Tensor) throws {
        func checked(_ name: String, like own: Tensor) throws -> Tensor {
            let tensor = try lookup(name)
            guard tensor.shape == own.shape else {
                throw CoppiceError(
                    .badData, source: source, field: name, "shape \(tensor.shape), expected \(own.shape)")
            }
            return tensor.converted(to: own.dataType).copied()
        }
        for (name, parameter) in parameters {
            parameter.wrappedValue = try checked(name, like: parameter.wrappedValue)
        }
        for (name, state) in stateTensors { state.wrappedValue = try checked(name, like: state.wrappedValue) }
    }

    private var members: [Any] {
        var mirrors: [Mirror] = []
        var mirror: Mirror? = Mirror(reflecting: self)
        while let current = mirror {
            mirrors.append(current)
            mirror = current.superclassMirror
        }
        return mirrors.reversed().flatMap { $0.children.flatMap { ($0.value as? [Any]) ?? [$0.value] } }
    }

    private var children: [(String, Module)] {
        members.compactMap { $0 as? any ModuleMember }.flatMap { member in
            member.modules.map { (member.path($0.suffix), $0.module) }
        }
    }

    private func collect<Found: KeyedTensor>(
        _ prefix: String, _ pick: (Any) -> Found?
    ) -> [(name: String, parameter: Found)] {
        var result: [(name: String, parameter: Found)] = []
        for member in members {
            if let found = pick(member) { result.append((prefix + found.key, found)) }
            if let part = member as? any ModuleMember {
                for (suffix, module) in part.modules {
                    let path = part.path(suffix)
                    result += module.collect(path.isEmpty ? prefix : "\(prefix)\(path).", pick)
                }
            }
        }
        return result
    }
}

private protocol KeyedTensor { var key: String { get } }
extension Parameter: KeyedTensor {}
extension StateTensor: KeyedTensor {}
