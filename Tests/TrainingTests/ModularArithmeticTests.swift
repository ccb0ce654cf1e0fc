import CoppiceTensors
import CoppiceTraining
import Testing

@Suite struct ModularArithmeticTests {
    @Test func sizesAreThoseOfThePaper() throws {
        let task = try ModularArithmetic(.add, modulus: 67)
        #expect(task.count == 2278 && task.table().count == 2278)
        let (train, test) = try task.split(trainFraction: 0.4, seed: 1)
        #expect(train.count == 911 && test.count == 1367)
        #expect(try ModularArithmetic(.add, modulus: 67, isSymmetric: false).table().count == 67 * 67)
        #expect(task.classCount == 67)
        #expect(try ModularArithmetic(.plainSum, modulus: 67).classCount == 134)
    }

    @Test(arguments: ModularArithmetic.Operation.allCases)
    func classesAreTheOperations(operation: ModularArithmetic.Operation) throws {
        let table = try ModularArithmetic(operation, modulus: 7, isSymmetric: false).table()
        let (pairs, classes) = (table.inputs.integers(), table.targets.integers())
        for index in classes.indices {
            let (a, b) = (pairs[2 * index], pairs[2 * index + 1])
            switch operation {
            case .add: #expect(classes[index] == (a + b) % 7)
            case .subtract: #expect((classes[index] + b) % 7 == a)
            case .polynomial: #expect(classes[index] == (a * a + a * b + b * b) % 7)
            case .random: #expect((0..<7).contains(classes[index]))
            case .plainSum: #expect(classes[index] == a + b)
            }
        }
        #expect(Set(classes.indices.map { pairs[2 * $0] * 7 + pairs[2 * $0 + 1] }).count == 49)
    }

    @Test func splitIsACut() throws {
        let task = try ModularArithmetic(.random, modulus: 11, tableSeed: 5)
        let (train, test) = try task.split(trainFraction: 0.3, seed: 9)
        func pairs(_ inputs: Tensor) -> Set<[Int]> {
            let all = inputs.integers()
            return Set(stride(from: 0, to: all.count, by: 2).map { [all[$0], all[$0 + 1]] })
        }
        #expect(pairs(train.inputs).isDisjoint(with: pairs(test.inputs)))
        #expect(pairs(train.inputs).union(pairs(test.inputs)) == pairs(task.table().inputs))
        let again = try task.split(trainFraction: 0.3, seed: 9)
        #expect(again.train.inputs.integers() == train.inputs.integers())
        #expect(again.train.targets.integers() == train.targets.integers())
        #expect(try task.split(trainFraction: 0.3, seed: 8).train.inputs.integers() != train.inputs.integers())
    }

    @Test func wrongOnesAreNamed() throws {
        #expect(throws: CoppiceError.self) { try ModularArithmetic(.add, modulus: 1) }
        #expect(throws: CoppiceError.self) { try ModularArithmetic(.add, modulus: 5_000) }
        let task = try ModularArithmetic(.add, modulus: 5)
        for fraction in [0, 1, -1, 0.01, Double.nan, .infinity] {
            do {
                _ = try task.split(trainFraction: fraction, seed: 1)
                Issue.record("a fraction of \(fraction)")
            } catch let error as CoppiceError {
                #expect(error.description.contains("frac"))
            }
        }
        #expect(try !ModularArithmetic(.add, modulus: 66).hasPrimeModulus)
        #expect(try ModularArithmetic(.add, modulus: 67).hasPrimeModulus)
    }
}
