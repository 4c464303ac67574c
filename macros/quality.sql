{#- Which model holds which DfE rules: rule r is its column rule_r, true where broken, null where not applicable. -#}
{% macro dfe_rules() -%}
  {{ return({
    'int_quality__referral_rules': [
      '8565', '8569Q', '8600', '8606', '8610', '8620', '8630', '8640', '8805', '8810', '8816', '8820', '8825Q', '8831',
      '8832', '2990', '4000'
    ],
    'int_quality__assessment_rules': ['8696'],
    'int_quality__cin_child_rules': [
      '8510', '8520', '8525Q', '8530Q', '8750', '8775Q', '8790', '8794', '8815'
    ],
    'int_quality__child_protection_plan_rules': [
      '1105', '2885', '4017', '8840', '8841', '8925', '8930', '8935', '8940'
    ],
    'int_quality__cin_plan_rules': ['4001', '4004', '4011', '4012Q', '4013', '4014', '4015', '4016'],
    'int_quality__episode_rules': [
      '142', '148', '353', '355', '356', '365', '366', '380', '381', '388', '431', '432', '433', '501', '504'
    ],
    'int_quality__looked_after_child_rules': [
      '202', '203', '204', '367', '426', '502', '503A', '503B', '503C', '503D'
    ]
  }) }}
{%- endmacro %}
