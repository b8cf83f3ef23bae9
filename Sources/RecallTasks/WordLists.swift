/// Words and names from which keys are made.
///
/// Changing a list changes every sample made from it.
enum WordLists {
  static let adjectives = split(
    """
    able amber ample ancient arctic autumn azure bald blank bold brave brief bright brisk broad
    bronze calm careful cheap clean clear clever cloudy coarse cold cool coral crisp curious curly
    damp dark deep dense distant dry dusty eager early easy elder empty even faint fair famous fast
    fertile fierce fine firm flat fluffy foggy fond fresh frosty full gentle giant glad golden good
    grand grassy gray great green handy happy hardy hasty heavy hidden hollow honest huge humble
    icy idle jolly keen kind large late lazy light little lively lonely long loud lucky lunar mellow
    merry mighty mild misty modern modest mossy narrow neat new noble nimble old olive open orange
    pale patient plain pleasant polite proud purple quick quiet rapid rare red regal rich ripe round
    royal rustic sandy scarlet secret sharp shiny short shy silent silver simple sleepy slim slow
    small smooth snowy soft solar solid sour spare steady steep still stony strong sturdy sunny
    sweet swift tall tame tender thick thin tidy tiny tough vast vivid warm weary white wide wild
    windy wise witty wooden woolly yellow young zealous
    """)

  static let nouns = split(
    """
    acorn anchor apple apron arrow attic badger bakery balloon bamboo banner barn basket beach
    beacon beaver bell bench berry bicycle blanket boat book bottle boulder bowl branch bread brick
    bridge brook broom bucket butter button cabin cable camel candle canoe canyon carpet castle cat
    cave cedar chair chalk cherry chimney church circle cliff clock cloud clover coast comet copper
    corner cottage cotton crane cradle creek crow crown cup curtain daisy dam desert desk diamond
    dolphin door dragon drawer drum duck eagle ear elbow elm engine falcon farm feather fence ferry
    field finger flag flower flute forest fork fountain fox frog garden gate ginger glacier glass
    glove goat goose grape guitar hammer harbor hat hawk hazel hedge helmet heron hill hook horse
    house island ivory jacket jar jungle kettle key kite ladder lake lamp lantern leaf lemon library
    lily lion lizard lobster maple marble market meadow melon mill mirror mitten moon moose mountain
    mouse needle nest nut oak oar ocean onion orchard otter oven owl paddle palace paper parrot path
    peach pear pearl pebble pencil pepper piano pigeon pillow pine pipe planet plate plum pond
    poplar potato prairie pumpkin puzzle quilt rabbit raft rain raven ribbon ring river road robin
    rocket roof rope rose saddle sail salmon salt school seal seed shadow sheep shell shelf ship
    shoe shovel sled snail spark sparrow spider spoon spring spruce star station stone stove stream
    street sugar swan table tent thimble thunder ticket tiger tower train tree trumpet tulip tunnel
    turtle valley vase village violin wagon walnut water well whale wheel willow window wolf yarn
    """)

  static let firstNames = split(
    """
    Ada Alan Alice Amir Ana Anton Bela Ben Bianca Boris Carla Carlos Chen Clara Dan Daria David Dina
    Edith Elias Emil Emma Eric Esther Eva Farid Felix Flora Frank Gina Grace Hana Hans Hugo Ida Igor
    Ines Irene Ivan Jack Jana Jin Joan John Jonas Judith Julia Karl Kate Kenji Lars Laura Lena Leo
    Lin Lisa Louis Lucy Luis Magda Marco Maria Mark Marta Max Mei Mina Mona Nadia Nils Nina Noah
    Nora Olga Omar Oscar Paul Petra Philip Priya Ravi Rita Robert Rosa Ruth Sam Sara Simon Sofia
    Stefan Tara Theo Thomas Tina Uma Vera Victor Walter Wei Yara Yusuf Zoe
    """)

  static let lastNames = split(
    """
    Adler Ahmed Baker Bauer Becker Bell Berg Blum Brandt Brown Carter Castro Chang Clark Cohen Cook
    Costa Cruz Dahl Davis Diaz Dubois Eder Ellis Evans Falk Fischer Ford Foster Fuchs Garcia Gibson
    Gomez Gray Green Gruber Haas Hall Hansen Hart Hill Hoffman Holm Horvat Huber Hughes Ito Jansen
    Jones Jung Kaur Keller Kelly Khan Kim Klein Koch Kovac Kramer Kumar Lang Larsen Lee Lehmann
    Lewis Lind Lopez Maier Marin Martin Meyer Miller Moore Morris Moser Murphy Nagy Nelson Novak
    Olsen Ortiz Park Patel Perez Peters Pohl Popov Price Quinn Ramos Reed Reyes Rossi Roth Russo
    Ryan Sato Schmid Scott Shah Silva Singh Smith Stein Stone Suzuki Tanaka Taylor Tran Turner Vega
    Vogel Wagner Walker Wang Ward Weber Weiss White Wolf Wood Wright Yang Young Zhang Ziegler Zimmer
    """)

  private static func split(_ text: String) -> [String] {
    text.split(whereSeparator: \.isWhitespace).map(String.init)
  }
}
