import CoppiceTensors

/// The second moments of a block's inputs, gathered once for matrices that see the same input: queries, keys and values;
/// gate and up.
struct SharedInputMoments {
    /// In the order in which the matrices were met.
    private(set) var groups: [(names: [String], moments: InputMoments)] = []

    private var isFirstWindow = true
    /// The input that was added last in this window.
    private var last: Tensor?

    /// What is met from now on is of another window.
    mutating func beginWindow() {
        if last != nil { isFirstWindow = false }
        last = nil
    }

    /// Adds an input of a matrix, unless one that is a group with it has added this one.
    mutating func add(_ input: Tensor, of name: String) {
        if isFirstWindow {
            if let last, input.isSameView(as: last) {
                groups[groups.count - 1].names.append(name)
                return
            }
            groups.append((names: [name], moments: InputMoments()))
        }
        last = input
        guard let group = groups.firstIndex(where: { $0.names[0] == name }) else { return }
        groups[group].moments.add(input)
    }
}

extension Tensor {
    /// Whether both are the same view of the same memory.
    fileprivate func isSameView(as other: Tensor) -> Bool {
        storage === other.storage && offset == other.offset && shape == other.shape && strides == other.strides
    }
}
