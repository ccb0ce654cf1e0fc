import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Testing

@Suite struct TracedStructureTests {
    /// About two thirds of each width.
    private func cut(_ structure: TracedStructure) -> [Int] {
        var generator = RandomGenerator(seed: 8)
        return structure.widths.map { max(1, Int(Double($0) * (0.4 + 0.5 * Double(generator.next() % 100) / 100))) }
    }

    /// What an architecture says of its widths, and what its forward pass says of them, is the same.
    @Test(arguments: ChannelGroupsTests.cases) func agreesWithTheArchitecture(item: ChannelGroupsTests.Case) throws {
        let network = try ChannelGroupsTests.network(item)
        let groups = try ChannelGroups(of: network, example: ChannelGroupsTests.images(network, 2))
        let traced = try TracedStructure(groups, named: item.name)
        let known = try ChannelStructure(VisionArchitecture(network.configuration))
        // Means over parts of an image are products with a table, those of attention are of data with data.
        let pools = item.name == "vgg11-bn-imagenet" || item.name.hasPrefix("vit")
        func agrees(_ cost: NetworkCost, _ other: NetworkCost) -> Bool {
            pools
                ? cost.parameters == other.parameters && cost.multiplyAccumulates < other.multiplyAccumulates
                : cost == other
        }
        #expect(traced.cost(traced.widths) == known.cost(known.widths))
        #expect(agrees(traced.cost(traced.widths), groups.cost()))
        let uses = Dictionary(uniqueKeysWithValues: known.entries.map { ($0.name, ($0.uses, $0.isTrainable)) })
        #expect(traced.entries.allSatisfy { uses[$0.name].map { $0 } ?? (-1, false) == ($0.uses, $0.isTrainable) })
        let widths = cut(traced)
        let kept = try traced.resized(widths)
        let narrow = try network.removingChannels(of: groups, keeping: kept)
        let other = try ChannelStructure(VisionArchitecture(narrow.configuration))
        #expect(traced.cost(widths) == other.cost(other.widths))
        #expect(agrees(traced.cost(widths), groups.cost(keeping: kept)))
        let shapes = Dictionary(uniqueKeysWithValues: other.entries.map { ($0.name, $0.axes.map { $0(other.widths) }) })
        #expect(traced.entries.allSatisfy { shapes[$0.name] == $0.axes.map { $0(widths) } })
        // The first channels stay.
        for (index, group) in groups.groups.enumerated() where group.members.allSatisfy({ $0.positions[0].count == 1 })
        {
            let count = kept.count(ofGroup: index)
            #expect(kept.isKept[index] == (0..<group.count).map { $0 < count })
        }
    }

    @Test func widthsThatAreNotThereAreNamed() throws {
        let network = try VisionArchitecture(named: "lenet-300-100", widthMultiplier: 0.1).makeNetwork()
        let traced = try TracedStructure(ChannelGroups(of: network, example: ChannelGroupsTests.images(network, 2)))
        #expect(traced.names == ["fc1", "fc2"] && traced.widths == [30, 10] && traced.ascents.isEmpty)
        #expect { try traced.resized([31, 10]) } throws: {
            "\($0)" == "widths.fc1: 31, expected 1 to 30, which there are"
        }
        #expect(throws: CoppiceError.self) { try traced.resized([30, 0]) }
        let lone = Linear(weight: .ones([3, 2]))
        let inputs = Tensor.ones([2, 2]).tracked()
        let none = try ChannelGroups(of: lone, examples: 2, data: [inputs]) { lone(inputs) }
        #expect { try TracedStructure(none, named: "lone") } throws: {
            "\($0)".hasPrefix("lone: has no channels to choose")
        }
    }
}
